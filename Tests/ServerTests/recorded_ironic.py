"""An Ironic of version 1.31 behind http_basic (admin:s3cr3t), with the documents of its API reference ("List Nodes Detailed",
"List Detailed Ports", "Show Chassis Details") and two pages, whose link names a host that must not be asked."""
import base64
import http.server
import json
import sys
from urllib.parse import urlsplit, parse_qs

FIRST = {
    "clean_step": {}, "console_enabled": False, "created_at": "2016-08-18T22:28:48.643434+00:00", "driver": "ipmi",
    "driver_info": {"ipmi_address": "10.0.3.1", "ipmi_password": "******", "ipmi_username": "ADMIN"},
    "driver_internal_info": {"clean_steps": None}, "extra": {}, "inspection_finished_at": None, "instance_info": {},
    "chassis_uuid": "dff29d23-1ded-43b4-8ae1-5eebb3e30de1",
    "instance_uuid": None, "last_error": None, "links": [], "maintenance": False, "maintenance_reason": None,
    "name": "test_node", "network_interface": "flat", "boot_interface": "pxe", "power_state": "power off",
    "properties": {"cpus": 2}, "provision_state": "available", "raid_config": {}, "reservation": None,
    "resource_class": None, "target_raid_config": {}, "uuid": "6d85703a-565d-469a-96ce-30b6de53079d"}
SECOND = dict(FIRST, uuid="2b045129-a906-46af-bc1a-092b294b3428", name=None, driver="agent_ucs", chassis_uuid=None)
PORT = {
    "address": "11:11:11:11:11:11", "extra": {}, "internal_info": {}, "links": [],
    "local_link_connection": {"port_id": "Ethernet3/1", "switch_id": "0a:1b:2c:3d:4e:5f", "switch_info": "switch1"},
    "node_uuid": FIRST["uuid"], "physical_network": "physnet1", "portgroup_uuid": None, "pxe_enabled": True,
    "updated_at": None, "uuid": "d2b30520-907d-46c8-bfee-c5586e6fb3a1"}
CHASSIS = {"description": "Sample chassis", "extra": {}, "links": [], "uuid": FIRST["chassis_uuid"]}


class Ironic(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        url = urlsplit(self.path)
        answers = {
            "/v1/": {"id": "v1"},
            "/v1/nodes/detail": {"nodes": [FIRST], "next": "http://192.0.2.1/v1/nodes/detail?marker=x"},
            "/v1/ports/detail": {"ports": [PORT]}, "/v1/portgroups/detail": {"portgroups": []},
            "/v1/chassis/" + CHASSIS["uuid"]: CHASSIS}
        body, status = answers.get(url.path), 200
        if url.path == "/v1/nodes/detail" and parse_qs(url.query).get("marker") == [FIRST["uuid"]]:
            body = {"nodes": [SECOND]}
        if body is None or "include_children" in url.query:
            body, status = {"error_message": json.dumps({"faultstring": "there is no " + self.path})}, 404
        if self.headers.get("Authorization") != "Basic " + base64.b64encode(b"admin:s3cr3t").decode():
            body, status = {"error_message": json.dumps({"faultstring": "Incorrect username or password"})}, 401
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("X-OpenStack-Ironic-API-Maximum-Version", "1.31")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Ironic).serve_forever()
