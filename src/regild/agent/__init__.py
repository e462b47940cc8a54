"""The one place where the verbs meet: whole trips and their journal."""
