"""The Processing tools: declare parameters, hand a request to the worker, load the outputs."""
