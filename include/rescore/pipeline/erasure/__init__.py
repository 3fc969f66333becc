"""Show a person's rows, and erase them with evidence."""
