"""A vehicle and a ground station in one, by pymavlink: tells telemetry, clicks, and prints what it hears as JSON.

Usage: mavlink_peer.py PORT
"""

import json
import os
import sys
import time

os.environ["MAVLINK20"] = "1"
from pymavlink import mavutil  # noqa: E402
from pymavlink.dialects.v20 import ardupilotmega as dialect  # noqa: E402

# The camera listens for three seconds before it takes an id.
TOLD_S = 4.0
HEARD_S = 15.0
WANTED = {"HEARTBEAT", "CAMERA_INFORMATION", "CAMERA_TRACKING_GEO_STATUS", "ACK 2004"}


def tell(link, since_ms):
    """Sends one round of telemetry as system 1."""
    link.mav.heartbeat_send(dialect.MAV_TYPE_QUADROTOR, dialect.MAV_AUTOPILOT_ARDUPILOTMEGA, 0, 0, dialect.MAV_STATE_ACTIVE)
    link.mav.global_position_int_send(since_ms, 251972000, 552744000, 220500, 100250, 1000, 0, 0, 0)
    link.mav.attitude_send(since_ms, 0.05, -0.1, 0.5, 0, 0, 0)
    link.mav.gimbal_device_attitude_status_send(0, 0, since_ms, 32, [0.7071068, 0, -0.7071068, 0], 0, 0, 0, 0, 1.25, 0.01, 1)
    link.mav.camera_fov_status_send(since_ms, 251972000, 552744000, 220500, 0, 0, 0, [1, 0, 0, 0], 63.7, 38.1)


def click(link):
    """Asks for the camera, for the target's place, and clicks."""
    for command, params in [
        (dialect.MAV_CMD_REQUEST_MESSAGE, [259]),
        (dialect.MAV_CMD_SET_MESSAGE_INTERVAL, [276, 100000]),
        (dialect.MAV_CMD_SET_MESSAGE_INTERVAL, [275, 100000]),
        (dialect.MAV_CMD_CAMERA_TRACK_POINT, [0.25, 0.625, 0.05]),
    ]:
        link.mav.command_long_send(1, 100, command, 0, *(params + [0] * (7 - len(params))))


def main():
    """Plays both parts and prints what was heard."""
    link = mavutil.mavlink_connection(f"udpout:127.0.0.1:{sys.argv[1]}", source_system=1, source_component=1)
    start, clicked, heard = time.monotonic(), False, {}
    while time.monotonic() - start < HEARD_S and not WANTED <= heard.keys():
        since_ms = int((time.monotonic() - start) * 1000) + 5000
        tell(link, since_ms)
        if not clicked and since_ms > 5000 + TOLD_S * 1000:
            click(link)
            clicked = True
        message = link.recv_match(blocking=True, timeout=0.05)
        while message is not None:
            name = message.get_type()
            if name == "COMMAND_ACK":
                name = f"ACK {message.command}"
            # JSON has no NaN; an unknown value and an array say nothing here.
            told = message.to_dict().items()
            heard[name] = {key: value for key, value in told if not isinstance(value, (bytes, list)) and value == value}
            heard[name]["from"] = message.get_srcComponent()
            message = link.recv_match(blocking=False)
    print(json.dumps(heard, default=str))


main()
