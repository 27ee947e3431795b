"""Upstream sushy against the simulator: sushy_check.py URL USERNAME (password in $REDFISH_PASSWORD).

Prints a line per check and ends with "passed N"; any failure is an exception and a status other than 0.
"""
import os
import sys
import time

import sushy
from sushy import auth, exceptions

url, username = sys.argv[1:3]
password = os.environ["REDFISH_PASSWORD"]
passed = 0


def check(name, ok, detail=""):
    global passed
    if not ok:
        raise SystemExit(f"FAILED {name}: {detail}")
    passed += 1
    print("ok", name, flush=True)


def wait(condition, limit=30):
    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def refused(kind, user, secret):
    try:
        sushy.Sushy(url, verify=False, auth=kind(user, secret)).get_system_collection().get_members()
    except exceptions.AccessError:
        return True
    return False


check("a wrong password is refused by Basic", refused(auth.BasicAuth, username, "wrong"))
check("a wrong password is refused by session", refused(auth.SessionAuth, username, "wrong"))

basic = sushy.Sushy(url, verify=False, auth=auth.BasicAuth(username, password))
check("Basic", len(basic.get_system_collection().get_members()) == 1)

session = auth.SessionAuth(username, password)
root = sushy.Sushy(url, verify=False, auth=session)
system = root.get_system_collection().get_members()[0]
check("session", session.get_session_key() is not None)
check("session service", len(root.get_session_service().sessions.get_members()) >= 1)
check("root", root.redfish_version.startswith("1.") and root.uuid, root.redfish_version)

# Power.
system = root.get_system(system.path)
for value in (sushy.RESET_ON, sushy.RESET_FORCE_OFF, sushy.RESET_GRACEFUL_SHUTDOWN, sushy.RESET_NMI):
    check(f"allowed {value}", value in system.get_allowed_reset_system_values())


def power(state):
    system.refresh(force=True)
    return system.power_state == state


system.reset_system(sushy.RESET_FORCE_OFF)
check("off", wait(lambda: power(sushy.PowerState.OFF)))
system.reset_system(sushy.RESET_ON)
check("on", wait(lambda: power(sushy.PowerState.ON)))
system.reset_system(sushy.RESET_FORCE_RESTART)
check("on after a restart", wait(lambda: power(sushy.PowerState.ON)))
system.reset_system(sushy.RESET_FORCE_OFF)
check("off again", wait(lambda: power(sushy.PowerState.OFF)))
try:
    system.reset_system(sushy.RESET_FORCE_RESTART)
    check("a restart of a machine that is off is refused", False)
except exceptions.HTTPError as error:
    check("a restart of a machine that is off is refused", error.status_code == 409, error)

# Boot override.
allowed = system.get_allowed_system_boot_source_values()
check("boot sources", {sushy.BOOT_SOURCE_TARGET_PXE, sushy.BOOT_SOURCE_TARGET_HDD, sushy.BOOT_SOURCE_TARGET_CD} <= allowed)
for target, enabled, mode in (
    (sushy.BOOT_SOURCE_TARGET_PXE, sushy.BOOT_SOURCE_ENABLED_ONCE, None),
    (sushy.BOOT_SOURCE_TARGET_HDD, sushy.BOOT_SOURCE_ENABLED_CONTINUOUS, None),
    (sushy.BOOT_SOURCE_TARGET_CD, sushy.BOOT_SOURCE_ENABLED_ONCE, sushy.BOOT_SOURCE_MODE_BIOS),
    (sushy.BOOT_SOURCE_TARGET_HDD, sushy.BOOT_SOURCE_ENABLED_CONTINUOUS, sushy.BOOT_SOURCE_MODE_UEFI),
):
    system.set_system_boot_options(target, enabled=enabled, mode=mode)
    system.refresh(force=True)
    boot = system.boot
    check(f"boot {target} {enabled}", boot.target == target and boot.enabled == enabled, boot)
    check(f"mode {mode}", mode is None or boot.mode == mode, boot)

# Virtual media.
manager = system.managers[0]
check("manager", manager.firmware_version)
for media in (manager.virtual_media, system.virtual_media):
    cd = next(each for each in media.get_members() if sushy.VIRTUAL_MEDIA_CD in each.media_types)
    cd.insert_media("http://127.0.0.1/boot.iso")
    cd.refresh(force=True)
    check("inserted", cd.inserted and cd.image == "http://127.0.0.1/boot.iso" and cd.image_name == "boot.iso", cd.json)
    cd.eject_media()
    cd.refresh(force=True)
    check("ejected", not cd.inserted and not cd.image, cd.json)

# Inventory.
check("identity", system.uuid and system.serial_number and system.manufacturer and system.model and system.bios_version)
check("processors", system.processors.summary.count >= 1, system.processors.summary)
check("architecture", system.processors.summary.architecture == sushy.PROCESSOR_ARCH_x86)
check("memory", system.memory_summary.size_gib is not None, system.memory_summary)
summary = system.ethernet_interfaces.summary
check("ethernet interfaces", summary and all(state == sushy.STATE_ENABLED for state in summary.values()), summary)
check("simple storage", system.simple_storage.max_size_bytes > 0)
check("storage", system.storage.max_drive_size_bytes > 0)
check("bios", system.bios.attributes)
check("chassis", system.chassis[0].identity == "1" and system.chassis[0].power is not None)
check("thermal", system.chassis[0].thermal is not None)
thermal, supplies = system.chassis[0].thermal, system.chassis[0].power.power_supplies
check("temperatures", [each.reading_celsius for each in thermal.temperatures] == [23], thermal.temperatures)
check("fans", [each.reading for each in thermal.fans] == [4200], thermal.fans)
check("power supplies", [each.last_power_output_watts for each in supplies] == [12], supplies)

# Secure Boot.
for flag in (True, False):
    system.secure_boot.set_enabled(flag)
    system.secure_boot.refresh(force=True)
    check(f"secure boot {flag}", system.secure_boot.enabled is flag)
system.set_system_boot_options(mode=sushy.BOOT_SOURCE_MODE_BIOS)
system.refresh(force=True)
check("a mode without a device", system.boot.mode == sushy.BOOT_SOURCE_MODE_BIOS, system.boot)
try:
    system.secure_boot.set_enabled(True)
    check("no Secure Boot in legacy mode", False)
except exceptions.HTTPError as error:
    check("no Secure Boot in legacy mode", error.status_code == 400, error)
system.set_system_boot_options(mode=sushy.BOOT_SOURCE_MODE_UEFI)
system.secure_boot.set_enabled(True)
system.secure_boot.refresh(force=True)
booted = system.secure_boot.current_boot
check("in force from the next boot on", booted == sushy.SecureBootCurrentBoot.DISABLED, booted)
system.reset_system(sushy.RESET_ON)
check("booted", wait(lambda: power(sushy.PowerState.ON)))
system.secure_boot.refresh(force=True)
check("booted securely", system.secure_boot.current_boot == sushy.SecureBootCurrentBoot.ENABLED)
system.reset_system(sushy.RESET_FORCE_OFF)
system.secure_boot.reset_keys(sushy.SECURE_BOOT_RESET_KEYS_DELETE_ALL)

# LED, tasks, update service.
system.set_indicator_led(sushy.INDICATOR_LED_LIT)
system.refresh(force=True)
check("indicator", system.indicator_led == sushy.INDICATOR_LED_LIT)
check("task service", root.get_task_service().identity == "TaskService")
check("update service", len(root.get_update_service().firmware_inventory.get_members()) == 2)

before = len(root.get_session_service().sessions.get_members())
session.close()
check("log out", len(basic.get_session_service().sessions.get_members()) == before - 1)
print("passed", passed)
