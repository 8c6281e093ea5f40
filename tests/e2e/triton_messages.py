"""The messages and methods of Triton's published service, as JSON, by an interpreter that has
its client: for each message its fields by name with number, kind and whether repeated.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from tritonclient.grpc import model_config_pb2, service_pb2


def described(message: Any) -> dict[str, Any]:
    fields = {each.name: [each.number, each.type, each.is_repeated] for each in message.fields}
    inner = {each.name: described(each) for each in message.nested_types}
    return {"fields": fields, "messages": inner}


def main() -> None:
    files = (service_pb2.DESCRIPTOR, model_config_pb2.DESCRIPTOR)
    (service,) = service_pb2.DESCRIPTOR.services_by_name.values()
    told = {
        "package": service_pb2.DESCRIPTOR.package,
        "service": service.full_name,
        "methods": {
            each.name: [
                each.input_type.name,
                each.output_type.name,
                each.client_streaming,
                each.server_streaming,
            ]
            for each in service.methods
        },
        "messages": {
            name: described(message)
            for file in files
            for name, message in file.message_types_by_name.items()
        },
        "datatypes": dict(model_config_pb2.DataType.items()),
    }
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main()
