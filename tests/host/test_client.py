"""Clients for the site's servers and proxies."""

from __future__ import annotations

import pytest

from regild.errors import UsageError
from regild.host.address import Access, read_host
from regild.host.client import open_client


@pytest.mark.parametrize("proxy", ["socks5://proxy.example:1080", "http://x:port", "ftp://x"])
def test_a_proxy_of_a_kind_that_is_not_used_is_refused(proxy: str) -> None:
    host = read_host("https://mirror.example/debian")
    with pytest.raises(UsageError, match=r"mirror\.example"):
        open_client(host, proxy, Access("https://"), (), 1.0, 1.0)
