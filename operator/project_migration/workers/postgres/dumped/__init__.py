"""A dump that somebody made with ``pg_dump --format=directory``, in place of a server that no helper reaches."""
