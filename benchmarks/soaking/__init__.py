"""The parts of `benchmarks.soak`: what is sent, the clients, what is watched, and the verdict."""
