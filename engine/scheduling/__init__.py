"""Who is served when: admission, the queue, and the threads that prepare and decode."""
