"""Starts the OpenStack clients quickly, for tests that start them hundreds of times.

preloaded.py serve SOCKET            loads the clients with all their plug-ins and waits for callers, each of which gets a
                                     child process in which the client's own entry point runs; says "ready" when it does
preloaded.py call SOCKET NAME ARG…   runs the client NAME there with these arguments, and with this process's streams,
                                     environment and folder; ends with the client's status

A start of its own takes each of them two seconds of processor time, nearly all of it to read its modules.
"""
import json
import logging
import os
import signal
import socket
import sys

CLIENTS = {'openstack': ('openstackclient.shell', 'main'), 'metalsmith': ('metalsmith._cmd', 'main')}


def call(path, name, arguments):
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    request = {'name': name, 'arguments': arguments, 'environment': dict(os.environ), 'folder': os.getcwd()}
    socket.send_fds(connection, [b'.'], [0, 1, 2])
    connection.sendall(json.dumps(request).encode())
    connection.shutdown(socket.SHUT_WR)
    status = connection.recv(1)
    return status[0] if status else 70


def answer(connection, set_by_plugins):
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, streams, _, _ = socket.recv_fds(connection, 1, 3)
    text = b''
    while piece := connection.recv(65536):
        text += piece
    request = json.loads(text)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(request['folder'])
    os.environ.clear()
    os.environ.update(set_by_plugins)
    os.environ.update(request['environment'])
    sys.argv = [request['name']] + request['arguments']
    status = 1
    try:
        module, function = CLIENTS[request['name']]
        status = getattr(sys.modules[module], function)(request['arguments']) or 0
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        status = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        import traceback
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    connection.sendall(bytes([status & 255]))


def serve(path):
    import importlib
    import importlib.metadata
    before = dict(os.environ)
    for module, _ in CLIENTS.values():
        importlib.import_module(module)
    points = importlib.metadata.entry_points()
    for group in points.groups:
        if group.startswith(('openstack.', 'keystoneauth1.')):
            for point in points.select(group=group):
                try:
                    point.load()
                except Exception:
                    pass  # a plug-in of which a part is not installed
    # Some plug-in set up logging when it was loaded.
    logging.root.handlers.clear()
    logging.root.setLevel(logging.WARNING)
    set_by_plugins = {name: value for name, value in os.environ.items() if before.get(name) != value}
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(64)
    print('ready', flush=True)
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            try:
                answer(connection, set_by_plugins)
            finally:
                os._exit(0)
        connection.close()


if __name__ == '__main__':
    if sys.argv[1] == 'serve':
        serve(sys.argv[2])
    else:
        sys.exit(call(sys.argv[2], sys.argv[3], sys.argv[4:]))
