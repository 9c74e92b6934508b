"""What the container tests are made of: the docker command line, containers that go away again, waiting with a deadline."""
