"""Files that are whole or not there at all: in a folder, or in a bucket of Cloud Storage."""
