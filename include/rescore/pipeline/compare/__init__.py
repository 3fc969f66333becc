"""Champion and challenger of a model, proved and measured on the same frozen rows."""
