-- What a CML's schema Job does to a database of a CDSW; it may run twice.
ALTER TABLE public.site_config ADD COLUMN IF NOT EXISTS cml_only text DEFAULT 'default';
CREATE TABLE IF NOT EXISTS public.schema_migrations (version int PRIMARY KEY);
INSERT INTO public.schema_migrations VALUES (99) ON CONFLICT DO NOTHING;
