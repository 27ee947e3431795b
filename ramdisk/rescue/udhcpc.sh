#!/bin/sh
# What udhcpc found on a network of the machine's user, made true.
case $1 in
  bound | renew)
    ip -4 addr show dev "$interface" | grep -q "inet $ip/" && exit 0
    ip -4 addr flush dev "$interface"
    ip addr add "$ip/${mask:-24}" dev "$interface"
    for gateway in $router; do ip route add default via "$gateway" dev "$interface"; break; done
    for server in $dns; do echo "nameserver $server"; done >/etc/resolv.conf
    echo "steelyard-rescue: $interface has $ip" >/dev/console ;;
esac
