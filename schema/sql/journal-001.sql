-- The journal: what is committed. Always a local SQLite file.
create table meta (
    name text primary key, -- "reigns": how many epochs this journal has begun; "emptied": see server/store/journal.h
    value bigint not null
);

-- Everything that ever happened, in the order of writing.
create table entries (
    seq bigint primary key,
    epoch bigint not null,
    kind text not null,
    id text not null,
    key text unique, -- idempotency key of the effect that wrote it
    body text not null, -- JSON; null: the state of (kind, id) ends
    at_us bigint not null -- wall clock, for people
);

-- The newest entry of each thing that a restart needs.
create table state (
    kind text not null,
    id text not null,
    seq bigint not null,
    body text not null,
    primary key (kind, id)
);

create index entries_kind on entries (kind, seq);
create index state_seq on state (seq);
