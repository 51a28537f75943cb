"""The address that the dashboard listens on."""

import ipaddress
import socket
from dataclasses import dataclass

from atml.errors import AddressError


@dataclass(frozen=True, kw_only=True)
class Address:
    """A host and a port to listen on."""

    host: str = "127.0.0.1"
    port: int = 8080  # 0 picks a free one

    def is_loopback(self) -> bool:
        """Whether it can be reached only from this machine.

        Raises:
            AddressError: the host has no address.
        """
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise AddressError(
                f"{self.host or repr('')}: no such host or address: {error.strerror}"
            ) from None
        except UnicodeError:  # a label of the name is empty or longer than 63 letters
            raise AddressError(f"{self.host!r} is not a valid host name") from None
        # An IPv6 address may include its interface: fe80::1%eth0.
        return all(ipaddress.ip_address(str(one[4][0]).partition("%")[0]).is_loopback for one in found)
