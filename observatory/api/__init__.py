"""What is on the wire: names, types, schema, conditions and validation. Pure."""
