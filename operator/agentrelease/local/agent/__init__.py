"""The demo support agent: a real HTTP process whose conversations are a seeded simulation.

What is real: it reads its bundle and its release as pods get them, obeys flags through the SDK,
exports the SDK's metrics and keeps an action log. What is simulated: the conversation. How well a
bundle does is looked up in ``behaviours.yaml`` by the versions that the bundle pins.
"""
