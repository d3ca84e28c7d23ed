-- Only a CML has this column; the stand-in for its schema Job adds it to what was loaded.
ALTER TABLE site_config ADD COLUMN cml_only text;
INSERT INTO users (username, email, name, admin, password_hash) VALUES ('cmladmin', 'cmladmin@corp', 'CML', true, 'NEW-HASH'),
    ('second', 'second@corp', 'S', true, 's'), ('plain', 'plain@corp', 'P', false, 'p');
INSERT INTO engine_images (description, repository, tag) VALUES ('Default engine image', 'cml/engine', '14'),
    ('Default engine image', 'cml/engine', '15');
INSERT INTO site_config (default_engine_image_id, allow_anonymous, ldap_url, cml_only) VALUES (2, false, 'ldap://new', 'kept');
INSERT INTO feature_flags.flags VALUES ('cml_flag', true);
