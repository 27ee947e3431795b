"""Enrols COUNT fake machines of the resource class "baremetal", with three NICs each, and makes them available.

The administrator's credentials are in the environment (cloud.sh). Nothing but Python's own library is needed.
"""
import json
import os
import sys
import time
import urllib.request


def call(method, url, body=None, token=None):
    headers = {'Content-Type': 'application/json', 'X-OpenStack-Ironic-API-Version': '1.69'}
    if token:
        headers['X-Auth-Token'] = token
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, headers, method=method)) as answer:
        text = answer.read()
        return json.loads(text) if text else None, answer.headers


E = os.environ
auth = {'auth': {'identity': {'methods': ['password'], 'password': {'user': {
    'name': E['OS_USERNAME'], 'domain': {'name': 'Default'}, 'password': E['OS_PASSWORD']}}},
    'scope': {'project': {'name': E['OS_PROJECT_NAME'], 'domain': {'name': 'Default'}}}}}
body, headers = call('POST', E['OS_AUTH_URL'] + '/auth/tokens', auth)
token = headers['X-Subject-Token']
ironic = next(e['url'] for s in body['token']['catalog'] if s['type'] == 'baremetal' for e in s['endpoints'])
nodes = []
for number in range(int(sys.argv[1])):
    node, _ = call('POST', ironic + '/v1/nodes', {
        'name': 'machine-%d' % number, 'driver': 'fake-hardware', 'resource_class': 'baremetal',
        'properties': {'cpus': 8, 'memory_mb': 16384, 'local_gb': 100}}, token)
    nodes.append(node['uuid'])
    for nic in range(3):
        call('POST', ironic + '/v1/ports', {
            'node_uuid': node['uuid'], 'address': '52:54:00:c0:%02x:%02x' % (number, nic),
            'physical_network': 'datacentre',
            'local_link_connection': {'switch_id': '00:11:22:33:44:66', 'switch_info': 'leaf2',
                                      'port_id': 'Ethernet%d/%d' % (number, nic)}}, token)
for target, state in (('manage', 'manageable'), ('provide', 'available')):
    for node in nodes:
        call('PUT', ironic + '/v1/nodes/%s/states/provision' % node, {'target': target}, token)
    deadline = time.time() + 60
    for node in nodes:
        while call('GET', ironic + '/v1/nodes/' + node, token=token)[0]['provision_state'] != state:
            if time.time() > deadline:
                sys.exit('machine %s does not become %s' % (node, state))
            time.sleep(0.2)
print('%d machines are available' % len(nodes))
