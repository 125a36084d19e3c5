-- What webhooks were told: always a local SQLite file beside the journal, written by the thread that delivers. It may be
-- lost: webhooks then go on with what comes next.
create table webhooks (
    name text primary key,
    seq bigint not null, -- of the journal's last entry that it was told, or that was not for it
    attempts bigint not null, -- that failed, in a row
    failing_us bigint not null, -- wall clock of the first of them; 0: the last one did not fail
    next_us bigint not null, -- wall clock of the next one; 0: none is waited for
    disabled bigint not null, -- revision of the object that was disabled; 0: it is not
    why text -- of the last failure
);

-- One row for each attempt.
create table deliveries (
    number bigint primary key,
    webhook text not null,
    id text not null, -- webhook-id
    type text not null,
    subject text not null,
    attempt bigint not null,
    status bigint not null, -- 0: no answer
    latency_us bigint not null,
    at_us bigint not null, -- wall clock
    next_us bigint not null, -- 0: no other attempt follows
    error text
);
create index deliveries_webhook on deliveries (webhook, number);
