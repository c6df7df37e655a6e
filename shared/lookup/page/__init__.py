"""The look-up's page: the files beside this one are built from `pages/lookup` by `make page`."""
