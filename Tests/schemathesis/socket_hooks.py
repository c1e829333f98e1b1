"""Has schemathesis ask over the Unix socket that MARTLET_SOCKET names, whatever the URL says."""

import os
import socket

import urllib3.connection


def connect(self):
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(10)
    connection.connect(os.environ["MARTLET_SOCKET"])
    return connection


urllib3.connection.HTTPConnection._new_conn = connect
