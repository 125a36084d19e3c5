-- History asks for one generation among very many, and for the newest entry of each thing until some seq.
create index entries_id on entries (kind, id, seq);

-- A restart needs the newest generation, and those whose keys (EXECUTION/...) may be asked for again.
alter table state add column key text; -- of a generation
update state set key = json_extract(body, '$.key') where kind = 'generation';
delete from state where kind = 'generation'
    and seq < (select max(seq) from state where kind = 'generation')
    and coalesce(substr(key, 1, instr(key, '/') - 1), '') not in (select id from state where kind = 'execution');
create index state_key on state (key) where kind = 'generation';
