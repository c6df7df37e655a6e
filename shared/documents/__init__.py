"""What others write: JSON objects with their fields, and moments."""
