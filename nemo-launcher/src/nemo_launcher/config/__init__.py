"""From a workflow file and key=value words to a checked `Workflow`."""
