-- A CDSW as far as its tables are known, with invented columns where they are not, and tables that nobody mentioned.
CREATE SCHEMA feature_flags;
CREATE TABLE feature_flags.flags (name text PRIMARY KEY, enabled boolean NOT NULL DEFAULT false);
CREATE TABLE users (
    id serial PRIMARY KEY, username text NOT NULL UNIQUE, email text UNIQUE, name text,
    type text NOT NULL DEFAULT 'user', admin boolean NOT NULL DEFAULT false, password_hash text, bio text,
    creator_id int REFERENCES users (id), created_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE engine_images (id serial PRIMARY KEY, description text, repository text, tag text);
CREATE TABLE site_config (
    id serial PRIMARY KEY, default_engine_image_id int, allow_anonymous boolean DEFAULT true, ldap_url text);
CREATE TABLE projects (
    id serial PRIMARY KEY, user_id int NOT NULL REFERENCES users (id), creator_id int REFERENCES users (id),
    name text NOT NULL, slug text NOT NULL, project_visibility text DEFAULT 'private', UNIQUE (user_id, slug));
CREATE TABLE projects_engine_images (
    project_id int PRIMARY KEY REFERENCES projects (id) ON DELETE CASCADE,
    engine_image_id int REFERENCES engine_images (id));
CREATE TABLE jobs (
    id serial PRIMARY KEY, project_id int REFERENCES projects (id), creator_id int REFERENCES users (id), name text,
    script text, schedule text, parent_id int REFERENCES jobs (id), paused boolean NOT NULL DEFAULT false);
CREATE TABLE applications (
    id serial PRIMARY KEY, project_id int REFERENCES projects (id), creator_id int REFERENCES users (id), name text,
    subdomain text UNIQUE, status text);
CREATE TABLE models (
    id serial PRIMARY KEY, project_id int REFERENCES projects (id), creator_id int REFERENCES users (id), name text);
CREATE TABLE model_builds (
    id serial PRIMARY KEY, model_id int REFERENCES models (id), user_id int REFERENCES users (id));
CREATE TABLE model_deployments (
    id serial PRIMARY KEY, model_build_id int REFERENCES model_builds (id), user_id int REFERENCES users (id));
CREATE TABLE build_details (id serial PRIMARY KEY, user_id int REFERENCES users (id), image text);
CREATE TABLE batch_runs (
    id serial PRIMARY KEY, project_id int REFERENCES projects (id), user_id int REFERENCES users (id),
    build_detail_id int REFERENCES build_details (id));
CREATE TABLE dashboards (
    id text PRIMARY KEY, project_id int REFERENCES projects (id), job_id int REFERENCES jobs (id),
    creator_id int REFERENCES users (id), name text, status text, cpu numeric);
CREATE TABLE custom_quota (id serial PRIMARY KEY, user_id int REFERENCES users (id), cpu int, memory int, gpu int);
CREATE TABLE default_quota (id serial PRIMARY KEY, cpu int, memory int, gpu int);
CREATE TABLE invitations (id serial PRIMARY KEY, user_id int REFERENCES users (id), email text);
CREATE TABLE project_invitations (
    id serial PRIMARY KEY, project_id int REFERENCES projects (id),
    invitation_id int REFERENCES invitations (id) ON DELETE CASCADE);
CREATE TABLE organization_invitations (
    id serial PRIMARY KEY, organization_id int REFERENCES users (id),
    invitation_id int REFERENCES invitations (id) ON DELETE CASCADE);
CREATE TABLE access_keys (id serial PRIMARY KEY, user_id int REFERENCES users (id), secret text);
CREATE TABLE ssh_keys (id serial PRIMARY KEY, user_id int REFERENCES users (id), private_key text);
CREATE TABLE kerberos (id serial PRIMARY KEY, user_id int REFERENCES users (id), keytab bytea);
CREATE TABLE authorized_keys (id serial PRIMARY KEY, user_id int REFERENCES users (id), public_key text);
CREATE TABLE followers (
    user_id int REFERENCES users (id), follower_id int REFERENCES users (id), PRIMARY KEY (user_id, follower_id));
CREATE TABLE job_notifications (
    id serial PRIMARY KEY, job_id int REFERENCES jobs (id), user_id int REFERENCES users (id), success boolean);
CREATE TABLE projects_users (
    project_id int REFERENCES projects (id), user_id int REFERENCES users (id), permission text,
    PRIMARY KEY (project_id, user_id));
CREATE TABLE organization_members (
    organization_id int REFERENCES users (id), user_id int REFERENCES users (id), permission text,
    PRIMARY KEY (organization_id, user_id));
CREATE TABLE shared_job_run_acl (
    id serial PRIMARY KEY, user_id int REFERENCES users (id), job_id int REFERENCES jobs (id));
CREATE TABLE shared_session_acl (
    id serial PRIMARY KEY, user_id int REFERENCES users (id), dashboard_id text REFERENCES dashboards (id));
CREATE TABLE stars (
    user_id int REFERENCES users (id), project_id int REFERENCES projects (id), PRIMARY KEY (user_id, project_id));
CREATE TABLE watchers (
    user_id int REFERENCES users (id), project_id int REFERENCES projects (id), PRIMARY KEY (user_id, project_id));
CREATE TABLE user_events (
    id serial PRIMARY KEY, user_id int REFERENCES users (id), ipaddr text, event_name text, description text);
CREATE TABLE licenses (id serial PRIMARY KEY, license text, user_id int REFERENCES users (id));
CREATE TABLE password_resets (id serial PRIMARY KEY, user_id int REFERENCES users (id), token text);
CREATE TABLE user_billing (id serial PRIMARY KEY, user_id int REFERENCES users (id), plan text);
CREATE TABLE waiting (id serial PRIMARY KEY, user_id int REFERENCES users (id), email text);
-- nobody mentioned these: with a generated column, an identity, a function with semicolons, and no keys at all
CREATE TABLE project_labels (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, project_id int REFERENCES projects (id), label text,
    folded text GENERATED ALWAYS AS (lower(label)) STORED);
CREATE TABLE audit_lines (said text);
CREATE FUNCTION say(what text) RETURNS void LANGUAGE plpgsql AS $body$
BEGIN
    -- COPY public.users (id) FROM stdin;
    INSERT INTO audit_lines VALUES (what || '; BEGIN; COMMIT;'); -- it's
END;
$body$;
CREATE FUNCTION twice(value int) RETURNS int LANGUAGE sql BEGIN ATOMIC
    SELECT CASE WHEN value IS NULL THEN 0 ELSE value * 2 END;
END;
CREATE VIEW active_jobs AS SELECT id, name, E'it''s \\ "odd"; --' AS said FROM jobs WHERE NOT paused;
