import APISupport
import Conductor
import Domain
import Wire

/// What a machine's controller measures, an addition to Ironic's API, which only publishes it in notifications.
extension IronicAPI {
  var nodeSensorEndpoints: [Endpoint] {
    [
      /// GET /v1/nodes/{node}/sensors → 200 `{"sensors": {TYPE: {NAME: {…}}}}`, as the payload of upstream's notification
      /// `hardware.*.metrics`. 400 when the node's hardware has none.
      Endpoint(.get, "/v1/nodes/{node}/sensors", Self.read, "What the machine's sensors show now") { request in
        let sensors = try await controlling(request, to: .readSensors) { try await conductor.sensors($0) }
        return APIResponse(json: ["sensors": Sensor.payload(sensors)])
      }
    ]
  }
}
