"""What the functions share of HTTP: errors as JSON, bodies with limits, packed answers, an app inside a function."""
