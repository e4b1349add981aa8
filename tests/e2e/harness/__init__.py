"""What the end-to-end tests are made of: a running Pawl, backends, clients, certificates."""
