"""The files of a tracking server where one side at least is a bucket: object by object, each whole or not at all."""
