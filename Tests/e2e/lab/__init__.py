"""What the end-to-end tests are made of: starting hivesupd in each of its surroundings, asking it over its control socket,
hearing from the programs that it runs, and seeing that nothing is left."""
