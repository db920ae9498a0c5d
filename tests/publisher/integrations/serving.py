"""A plain uvicorn, as a service runs it, in a thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import uvicorn

from web.http.listening_socket import listen


@contextmanager
def serving(app: Any, **options: Any) -> Iterator[httpx2.Client]:
    """A client of `app`. The headers of proxies are the middleware's business."""
    config = uvicorn.Config(
        app,
        proxy_headers=False,
        log_config=None,
        ws="websockets-sansio",
        timeout_graceful_shutdown=2,
        **options,
    )
    server = uvicorn.Server(config)
    with listen("127.0.0.1", 0) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            while not server.started and thread.is_alive():
                time.sleep(0.01)
            with httpx2.Client(
                base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=20
            ) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join()
