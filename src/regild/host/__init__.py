"""The only room that touches this machine: processes, files, network, name spaces."""
