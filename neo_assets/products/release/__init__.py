"""A release: the catalogue as a folder that can be published, with what people and programs need to know of it."""
