-- An answer to a question needs no role, so that anybody who may sign in can submit one. Answers must not take all
-- commands of an hour from those who work on cases.

CREATE INDEX case_command_answer ON audit_trail.case_command (requested_at) WHERE kind = 'answer_question';

-- As audit_trail.request_operation: bounded, so that the login of the reader can fill no disk. At most 20 open commands
-- of one person, 200 of all, and 5,000 in an hour; of these 30 answers
-- of one person and 1,000 of all. AT002 is what the person can correct.
CREATE OR REPLACE FUNCTION audit_trail.submit_case_command(
    wanted uuid, wanted_target uuid, wanted_kind text, wanted_body jsonb, by_kind text, by_id text, by_name text,
    by_roles text[], by_actors text[], by_session text
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'audit_trail_requester')
        AND NOT pg_has_role(session_user, 'audit_trail_requester', 'MEMBER') THEN
        RAISE EXCEPTION 'the login % is no member of audit_trail_requester, and can''t give commands', session_user
            USING ERRCODE = 'AT002';
    END IF;
    -- An older snapshot would count too few.
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'give commands in a transaction that is READ COMMITTED' USING ERRCODE = 'AT002';
    END IF;
    -- One at a time. No lock of the table: whoever never ends the transaction would stop the part that does the work.
    PERFORM pg_advisory_xact_lock(hashtext('audit_trail.case_command'));
    IF EXISTS (SELECT FROM audit_trail.case_command AS each WHERE each.id = wanted) THEN
        IF NOT EXISTS (
            SELECT FROM audit_trail.case_command AS each
            WHERE each.id = wanted AND each.target = wanted_target AND each.kind = wanted_kind
                AND each.body = wanted_body AND each.requester_id = by_id
        ) THEN
            RAISE EXCEPTION 'this command id was used for another command: choose a new one' USING ERRCODE = 'AT002';
        END IF;
        RETURN;
    END IF;
    IF (SELECT count(*) FROM audit_trail.case_command AS each
        WHERE each.outcome IS NULL AND each.requester_id = by_id) >= 20 THEN
        RAISE EXCEPTION 'you have 20 open commands: wait until one is done' USING ERRCODE = 'AT002';
    END IF;
    IF (SELECT count(*) FROM audit_trail.case_command AS each WHERE each.outcome IS NULL) >= 200 THEN
        RAISE EXCEPTION 'there are 200 open commands: wait until one is done' USING ERRCODE = 'AT002';
    END IF;
    IF (SELECT count(*) FROM audit_trail.case_command AS each
        WHERE each.requested_at > clock_timestamp() - interval '1 hour') >= 5000 THEN
        RAISE EXCEPTION 'there were 5,000 commands in the last hour: wait' USING ERRCODE = 'AT002';
    END IF;
    IF wanted_kind = 'answer_question' THEN
        IF (SELECT count(*) FROM audit_trail.case_command AS each
            WHERE each.kind = 'answer_question' AND each.requested_at > clock_timestamp() - interval '1 hour'
                AND each.requester_id = by_id) >= 30 THEN
            RAISE EXCEPTION 'you gave 30 answers in the last hour: wait' USING ERRCODE = 'AT002';
        END IF;
        IF (SELECT count(*) FROM audit_trail.case_command AS each
            WHERE each.kind = 'answer_question' AND each.requested_at > clock_timestamp() - interval '1 hour') >= 1000 THEN
            RAISE EXCEPTION 'there were 1,000 answers in the last hour: wait' USING ERRCODE = 'AT002';
        END IF;
    END IF;
    INSERT INTO audit_trail.case_command
    (id, target, kind, body, requester_kind, requester_id, requester_name, requester_roles, requester_actors, session)
    VALUES (wanted, wanted_target, wanted_kind, wanted_body, by_kind, by_id, by_name, by_roles, by_actors, by_session);
END
$$;
