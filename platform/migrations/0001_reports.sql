-- What the platform keeps of reports. Whatever tells what a report is about is sealed (HPKE) to a key that is not in
-- this database. Times are seconds since 1970.

-- Keys that reports may be sealed to: those that some analyst can open with.
CREATE TABLE report_key (
    id     text   PRIMARY KEY,
    public text   NOT NULL,
    added  bigint NOT NULL
);

CREATE TABLE report (
    id           bytea   PRIMARY KEY CHECK (octet_length(id) = 16),
    receipt      text    NOT NULL UNIQUE,
    key          text    NOT NULL,
    sealed       bytea   NOT NULL,
    received     bigint  NOT NULL,
    state        text    NOT NULL DEFAULT 'received'
                 CHECK (state IN ('received', 'under-review', 'acted-on', 'not-illegal')),
    since        bigint  NOT NULL,
    tag          bytea,                          -- the case that it was sorted into
    unreadable   boolean NOT NULL DEFAULT false, -- does not open, or is no report
    leased_by    text,
    leased_until bigint
);
ALTER TABLE report ALTER COLUMN sealed SET STORAGE EXTERNAL; -- ciphertext does not compress
CREATE INDEX report_waiting ON report (received) WHERE tag IS NULL AND NOT unreadable;
CREATE INDEX report_of_case ON report (tag, received);

-- Reports of one name. The tag is a keyed hash of the name, so that equal names meet and none can be read.
CREATE TABLE cases (
    tag          bytea   PRIMARY KEY CHECK (octet_length(tag) = 16),
    name         bytea   NOT NULL,               -- sealed to `key`
    key          text    NOT NULL,
    state        text    NOT NULL DEFAULT 'open'
                 CHECK (state IN ('open', 'second', 'confirmed', 'rejected', 'over-block', 'merged')),
    since        bigint  NOT NULL,
    first        bigint  NOT NULL,
    last         bigint  NOT NULL,
    reports      bigint  NOT NULL DEFAULT 0,
    urgent       boolean NOT NULL DEFAULT false, -- some report may be about a child in danger
    list         text,                           -- that it is confirmed into, or is to be
    reason       text,                           -- why it was rejected
    merged_into  bytea   REFERENCES cases,
    leased_by    text,
    leased_until bigint
);
CREATE INDEX cases_open ON cases (urgent DESC, first) WHERE state IN ('open', 'second');

CREATE TABLE analyst (
    name    text   PRIMARY KEY,
    sign    bytea  NOT NULL UNIQUE CHECK (octet_length(sign) = 32), -- Ed25519
    open    bytea  NOT NULL UNIQUE CHECK (octet_length(open) = 32), -- X25519
    added   bigint NOT NULL,
    removed bigint
);

-- What each analyst opens with: secrets, each sealed to the analyst's own key.
CREATE TABLE ring (
    analyst text  NOT NULL REFERENCES analyst,
    what    text  NOT NULL,                      -- 'tag', or 'report:' and the id of a report key
    sealed  bytea NOT NULL,
    PRIMARY KEY (analyst, what)
);

-- What analysts have said of a case that needs another's word, sealed to `key`: a signature would tell whoever guesses the
-- name that the guess is right.
CREATE TABLE vote (
    tag     bytea  NOT NULL REFERENCES cases,
    analyst text   NOT NULL REFERENCES analyst,
    key     text   NOT NULL,
    sealed  bytea  NOT NULL,
    PRIMARY KEY (tag, analyst)
);

-- What was decided, with all signatures, sealed to the publisher's key.
CREATE TABLE decision (
    id      bytea  PRIMARY KEY CHECK (octet_length(id) = 16),
    tag     bytea  NOT NULL REFERENCES cases,
    list    text   NOT NULL,
    at      bigint NOT NULL,
    seq     bigserial,                           -- of one second, the later one counts
    sealed  text   NOT NULL
);
CREATE INDEX decision_of_case ON decision (tag, at);

-- Every act, each bound to the one before by its hash and signed by its analyst.
CREATE TABLE act (
    seq       bigint PRIMARY KEY,
    body      text   NOT NULL,                   -- JSON, as signed
    signature bytea  NOT NULL CHECK (octet_length(signature) = 64),
    hash      bytea  NOT NULL CHECK (octet_length(hash) = 32)
);
CREATE FUNCTION act_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'acts are only ever added';
END $$;
CREATE TRIGGER act_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON act
    FOR EACH STATEMENT EXECUTE FUNCTION act_is_append_only();

-- Who sent how much in this hour. Sources are keyed hashes with a salt of the day; rows go with their hour, the salt with
-- its day. Neither is in backups or the server's log (UNLOGGED): a crash forgets them, which costs nothing but counts.
CREATE UNLOGGED TABLE quota (
    source bytea  NOT NULL,
    hour   bigint NOT NULL,
    count  bigint NOT NULL,
    PRIMARY KEY (source, hour)
);
CREATE UNLOGGED TABLE quota_salt (
    day  bigint PRIMARY KEY,
    salt bytea  NOT NULL
);
