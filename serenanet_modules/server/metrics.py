"""What Prometheus reads at ``/metrics``."""

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

LATENCIES = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30, 60, 120, 300)  # seconds
SIZES = (1, 2, 4, 8, 16, 32, 64)  # requests


class Metrics:
    """The figures of one application, in a registry of their own.

    Parameters
    ----------
    waiting, live : callable
        Give the number of requests that wait for the network, and of live sessions.
    """

    def __init__(self, waiting, live):
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "serenanet_requests", "Requests by path and status", ("path", "status"), registry=registry
        )
        self._latency = Histogram(
            "serenanet_request_seconds",
            "Time from a request's first byte to its answer's last",
            ("path",),
            buckets=LATENCIES,
            registry=registry,
        )
        self._audio = Counter("serenanet_audio_seconds", "Audio that was transcribed", registry=registry)
        self._sizes = Histogram("serenanet_batch_size", "Requests in a batch", buckets=SIZES, registry=registry)
        queue = Gauge("serenanet_queue_length", "Requests that wait for the model", registry=registry)
        queue.set_function(waiting)
        Gauge("serenanet_live_sessions", "Open live sessions", registry=registry).set_function(live)

    def batch(self, requests, seconds):
        """Count a batch of so many requests and seconds of audio."""
        self._sizes.observe(requests)
        self._audio.inc(seconds)

    def request(self, scope, status, seconds):
        """Count a request under its route's path, not its own, of which there is no end."""
        path = getattr(scope.get("route"), "path", "other")
        self._requests.labels(path, status).inc()
        self._latency.labels(path).observe(seconds)

    def text(self):
        """All figures in Prometheus's text format, and its media type."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST
