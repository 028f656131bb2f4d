"""The built-in parts, registered through entry points exactly as a third party's."""
