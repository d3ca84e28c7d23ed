INSERT INTO users (id, username, email, name, type, admin, password_hash, bio, creator_id) VALUES
    (1, 'admin', 'admin@old', 'Admin', 'user', true, 'OLD-HASH', NULL, NULL),
    (2, 'ana', 'ana@corp', 'Ana, A.', 'user', false, 'h2', 'says "hi", and ''ho''', 1),
    (3, 'ben', 'ben@corp', 'Ben', 'user', false, 'h3', E'two\nlines\tand \\ more', 1),
    (5, 'dsteam', NULL, 'Data', 'organization', false, NULL, NULL, 1);
INSERT INTO engine_images VALUES (1, 'Default engine image', 'docker/engine', '8'), (2, 'Custom GPU', 'own/gpu', '1'),
    (4, 'Default engine image', 'docker/engine', '13');
INSERT INTO site_config VALUES (1, 4, true, 'ldap://old');
INSERT INTO feature_flags.flags VALUES ('cdsw_only', true);
INSERT INTO projects (id, user_id, creator_id, name, slug) VALUES
    (10, 2, 2, 'Churn', 'churn'), (11, 3, 3, 'Churn', 'churn'), (12, 5, 2, 'Shared', 'shared'), (13, 1, 1, 'Infra', 'infra');
INSERT INTO projects_engine_images VALUES (10, 4), (11, 2), (12, 1);
INSERT INTO jobs (id, project_id, creator_id, name, schedule, parent_id, paused) VALUES
    (20, 10, 2, 'nightly', '0 0 * * *', NULL, false), (21, 10, 2, 'after', NULL, 20, false),
    (22, 11, 3, 'old', NULL, NULL, true);
INSERT INTO applications (id, project_id, creator_id, name, subdomain, status) VALUES
    (1, 10, 2, 'app', 'app', 'running'), (2, 11, 3, 'off', 'off', 'stopped');
INSERT INTO models VALUES (30, 10, 2, 'model');
INSERT INTO model_builds VALUES (31, 30, 3);
INSERT INTO model_deployments VALUES (32, 31, 3);
INSERT INTO build_details VALUES (40, 2, 'img');
INSERT INTO batch_runs VALUES (41, 10, 3, 40);
INSERT INTO dashboards VALUES ('abc', 10, 20, 2, 'run', 'finished', 0.5);
INSERT INTO custom_quota VALUES (1, 2, 1, 2, 3);
INSERT INTO default_quota VALUES (1, 4, 8, 0);
INSERT INTO invitations VALUES (50, 2, 'new@corp');
INSERT INTO project_invitations VALUES (1, 10, 50);
INSERT INTO organization_invitations VALUES (1, 5, 50);
INSERT INTO access_keys VALUES (1, 2, 'AK-SECRET');
INSERT INTO ssh_keys VALUES (1, 2, 'SSH-SECRET');
INSERT INTO kerberos VALUES (1, 3, 'KEYTAB-SECRET');
INSERT INTO authorized_keys VALUES (1, 2, 'pub');
INSERT INTO followers VALUES (2, 3);
INSERT INTO job_notifications VALUES (1, 20, 2, true);
INSERT INTO projects_users VALUES (10, 3, 'read');
INSERT INTO organization_members VALUES (5, 2, 'admin');
INSERT INTO shared_job_run_acl VALUES (1, 3, 20);
INSERT INTO shared_session_acl VALUES (1, 3, 'abc');
INSERT INTO stars VALUES (3, 10);
INSERT INTO watchers VALUES (3, 10);
INSERT INTO user_events VALUES (1, 2, '10.0.0.1', 'login', 'in');
INSERT INTO licenses VALUES (1, 'LIC', 1);
INSERT INTO password_resets VALUES (1, 2, 'TOKEN');
INSERT INTO user_billing VALUES (1, 2, 'free');
INSERT INTO waiting VALUES (1, 2, 'w@corp');
INSERT INTO project_labels (project_id, label) VALUES (10, 'Red'), (11, 'Blue');
INSERT INTO audit_lines VALUES ('one'), ('two'), (E'with \\. and\n\\.\n a break');
SELECT setval('users_id_seq', 7), setval('engine_images_id_seq', 4), setval('projects_id_seq', 13), setval('jobs_id_seq', 22),
    setval('applications_id_seq', 2), setval('models_id_seq', 30), setval('model_builds_id_seq', 31),
    setval('model_deployments_id_seq', 32), setval('build_details_id_seq', 40), setval('batch_runs_id_seq', 41),
    setval('invitations_id_seq', 50), setval('site_config_id_seq', 1), setval('access_keys_id_seq', 77);
