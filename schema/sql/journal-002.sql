-- History asks for one generation among very many, and for the newest entry of each thing until some seq.
create index entries_id on entries (kind, id, seq);
