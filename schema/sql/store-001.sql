-- The store: history for people, drained from the journals of all servers. (epoch, seq) names one entry of one journal,
-- so that draining twice changes nothing.
create table drained (
    node bigint primary key, -- server number: epoch modulo 65536
    epoch bigint not null,
    seq bigint not null -- the last entry that is here
);

create table audit (
    epoch bigint not null,
    seq bigint not null,
    id text not null,
    body text not null,
    at_us bigint not null,
    primary key (epoch, seq)
);

create table events (
    epoch bigint not null,
    seq bigint not null,
    id text not null,
    body text not null,
    at_us bigint not null,
    primary key (epoch, seq)
);

-- The newest state of each execution.
create table executions (
    id text primary key,
    epoch bigint not null,
    seq bigint not null,
    body text not null,
    at_us bigint not null
);

-- The newest state of inventory, controls and plans; body null: removed.
create table objects (
    kind text not null,
    id text not null,
    epoch bigint not null,
    seq bigint not null,
    body text not null,
    at_us bigint not null,
    primary key (kind, id)
);
