#!/bin/sh
# Collects on a Linux host what badrange needs to explain a failure, in one directory with a stack.toml.
#
#   sh capture.sh DIRECTORY
#
# Works as root or not: without root there is less in the directory, and capture.txt says what. It reads
# only: nothing is written outside DIRECTORY, no key of an encrypted device is printed, and no device is
# changed. The mappings of thin pools need a metadata snapshot, which this makes and releases again only
# with BADRANGE_THIN=yes in the environment.
set -u
LC_ALL=C
export LC_ALL
umask 077

if [ $# -ne 1 ]; then
    echo "usage: sh capture.sh DIRECTORY (which must not exist yet)" >&2
    exit 64
fi
mkdir "$1" && cd "$1" || exit 73
# For tests: where /sys and /proc are looked for.
root=${BADRANGE_ROOT-}
block=$root/sys/class/block

say() {
    printf '%s\n' "$*" >>capture.txt
}

stack() {
    printf '%s\n' "$@" >>stack.toml
}

# save FILE COMMAND...: keeps the output if there is any; says in capture.txt what became of it.
save() {
    file=$1
    shift
    if ! command -v "$1" >/dev/null 2>&1; then
        say "$file: missing: there is no command $1"
        return 1
    fi
    "$@" >"$file" 2>error.tmp
    status=$?
    if [ -s "$file" ]; then
        say "$file: $* (status $status)"
        rm -f error.tmp
        return 0
    fi
    say "$file: missing: $*: status $status: $(cat error.tmp)"
    rm -f "$file" error.tmp
    return 1
}

# The name that people use: that of the mapping for device-mapper, else the kernel's.
name_of() {
    if [ -r "$block/$1/dm/name" ]; then
        cat "$block/$1/dm/name"
    else
        printf '%s\n' "$1"
    fi
}

is_storage() {
    case $1 in
    ram* | zram* | sr* | fd*) return 1 ;;
    esac
    [ -r "$block/$1/size" ] && [ "$(cat "$block/$1/size")" != 0 ]
}

disk() {
    stack "" "[[disk]]" "name = \"$1\"" "sectors = $(cat "$block/$1/size")"
    if [ -r "$block/$1/queue/logical_block_size" ]; then
        stack "logical_block = $(cat "$block/$1/queue/logical_block_size")"
    fi
}

# Persistent memory, if the kernel tells where it is (root only).
pmem() {
    device=$block/$1/device
    mode=raw
    space=$device
    if [ -r "$device/namespace" ]; then
        mode=fsdax
        space=$root/sys/bus/nd/devices/$(cat "$device/namespace")
    fi
    phys=$(cat "$space/resource" 2>/dev/null)
    size=$(cat "$space/size" 2>/dev/null)
    data=$(cat "$device/resource" 2>/dev/null)
    if [ -z "$phys" ] || [ -z "$size" ] || [ -z "$data" ] || [ "$((phys))" -eq 0 ]; then
        say "$1: where it is in physical memory is not told: described as a disk"
        disk "$1"
        return
    fi
    stack "" "[[pmem]]" "name = \"$1\"" "phys = \"$phys\"" "size = $size" \
        "data_offset = $((data - phys))" "mode = \"$mode\""
    if [ -r "$block/$1/badblocks" ] && cat "$block/$1/badblocks" >"badblocks.$1.txt"; then
        stack "badblocks = \"badblocks.$1.txt\""
    fi
}

# The device of the filesystem that a file is on, and the file there: by the longest mount point.
place_of() {
    best=-1
    while read -r _id _parent number place mount _rest; do
        mount=${mount%/}
        case $1 in
        "$mount"/*) ;;
        *) continue ;;
        esac
        if [ "${#mount}" -ge "$best" ]; then
            best=${#mount}
            on=$number
            inside=${place%/}${1#"$mount"}
        fi
    done <"$root/proc/self/mountinfo"
    [ "$best" -ge 0 ]
}

# A loop device lies on a file of a filesystem that is described too, or on nothing that is known.
loop_device() {
    behind=$(cat "$block/$1/loop/backing_file")
    offset=$(cat "$block/$1/loop/offset" 2>/dev/null)
    case $behind in
    *\"* | *\\* | *' (deleted)')
        say "$1: what is behind it cannot be named: described as a disk"
        disk "$1"
        return
        ;;
    esac
    holder=
    if place_of "$behind"; then
        holder=$(readlink "$root/sys/dev/block/$on")
        holder=$(name_of "${holder##*/}")
    fi
    # Without the map of that filesystem nothing leads from below into the file.
    if [ -z "$holder" ] || ! grep -q "^device = \"$holder\"$" stack.toml; then
        say "$1: there is no map of the filesystem with $behind: described as a disk"
        disk "$1"
        return
    fi
    stack "" "[[loop]]" "name = \"$1\"" "on = \"$holder\"" "file = \"$inside\"" \
        "offset = ${offset:-0}" "sectors = $(cat "$block/$1/size")"
}

partitions() {
    parts=
    for part in "$block/$1/$1"*/partition; do
        [ -r "$part" ] && parts=yes
    done
    [ -n "$parts" ] || return
    if save "sfdisk.$1.txt" sfdisk -d "/dev/$1"; then
        stack "" "[[partitions]]" "on = \"$1\"" "table = \"sfdisk.$1.txt\""
        return
    fi
    for part in "$block/$1/$1"*/partition; do
        [ -r "$part" ] || continue
        part=${part%/partition}
        stack "" "[[partition]]" "name = \"${part##*/}\"" "on = \"$1\"" \
            "start = $(cat "$part/start")" "sectors = $(cat "$part/size")"
    done
}

array() {
    members=
    texts=
    for slave in "$block/$1/slaves/"*; do
        member=${slave##*/}
        is_storage "$member" || continue
        save "mdadm_examine.$member.txt" mdadm --examine "/dev/$member" || continue
        members="$members\"$(name_of "$member")\", "
        texts="$texts\"mdadm_examine.$member.txt\", "
    done
    if [ -n "$members" ]; then
        stack "" "[[md]]" "name = \"$1\"" "devices = [${members%, }]" "examine = [${texts%, }]"
    fi
}

volume_groups() {
    command -v vgs >/dev/null 2>&1 || return
    vgs --noheadings -o vg_name 2>/dev/null | while read -r group; do
        vgcfgbackup -f "vgcfg.$group.txt" "$group" >/dev/null 2>&1
        if [ ! -s "vgcfg.$group.txt" ]; then
            say "vgcfg.$group.txt: missing: vgcfgbackup needs root"
            continue
        fi
        say "vgcfg.$group.txt: vgcfgbackup"
        pvs --noheadings -o pv_name,vg_name 2>/dev/null | {
            devices=
            while read -r path of; do
                [ "$of" = "$group" ] || continue
                # A path may be a link: the kernel's name is behind it.
                target=$(readlink -f "$path" 2>/dev/null)
                target=${target:-$path}
                devices="$devices\"$path\" = \"$(name_of "${target##*/}")\", "
            done
            stack "" "[[lvm]]" "metadata = \"vgcfg.$group.txt\"" "devices = { ${devices%, } }"
        }
    done
}

thin_pools() {
    while read -r name _start _length kind metadata _rest; do
        [ "$kind" = thin-pool ] || continue
        name=${name%:}
        if [ "${BADRANGE_THIN-no}" != yes ]; then
            say "thin_dump.$name.xml: missing: run this again with BADRANGE_THIN=yes, as root"
            continue
        fi
        dmsetup message "$name" 0 reserve_metadata_snap || continue
        if save "thin_dump.$name.xml" thin_dump -m "/dev/block/$metadata"; then
            stack "" "[[thin]]" "pool = \"$name\"" "metadata = \"thin_dump.$name.xml\""
        fi
        dmsetup message "$name" 0 release_metadata_snap
    done <dmsetup_table.txt
}

filesystem() {
    kind=$1
    number=$2
    mount=$3
    kernel=$(readlink "$root/sys/dev/block/$number")
    kernel=${kernel##*/}
    is_storage "$kernel" || return
    name=$(name_of "$kernel")
    if [ -e "paths.$name.txt" ]; then
        return # mounted twice
    fi
    maps=
    view=fsmap
    [ "$kind" = xfs ] && view='fsmap -v'
    if save "fsmap.$name.txt" xfs_io -r -c "$view" "$mount"; then
        maps="\"fsmap.$name.txt\", "
    fi
    # XFS with its map knows every file; elsewhere the files have to be asked.
    if [ "$kind" != xfs ] || [ -z "$maps" ]; then
        if save "filefrag.$name.txt" find "$mount" -xdev -type f -exec filefrag -v {} +; then
            maps="$maps\"filefrag.$name.txt\", "
        fi
    fi
    # Paths with a line break in them cannot stand in a list of lines.
    save "paths.$name.txt" find "$mount" -xdev ! -path '*
*' -printf '%i /%P\n'
    [ -n "$maps" ] || return
    stack "" "[[fs]]" "device = \"$name\"" "kind = \"$kind\"" "map = [${maps%, }]" \
        "block_size = $(stat -f -c %S "$mount")"
    case $mount in
    *\"*) ;;
    *) stack "mount = \"$mount\"" ;;
    esac
    [ -s "paths.$name.txt" ] && stack "paths = \"paths.$name.txt\""
}

say "captured by uid $(id -u)"
stack "# Written by the script of 'badrange capture'; capture.txt says what is missing." \
    'schema = "badrange.stack/1"'

save lsblk.json lsblk -J -b -o NAME,KNAME,MAJ:MIN,TYPE,SIZE,START,LOG-SEC,FSTYPE,MOUNTPOINT
save dmesg.txt dmesg
save losetup.json losetup --json
save mdstat.txt cat "$root/proc/mdstat"
save ndctl.json ndctl list -NRDM
save cxl.json cxl list -BMDRT

numbers=
loops=
for path in "$block"/*; do
    kernel=${path##*/}
    is_storage "$kernel" || continue
    numbers="$numbers\"$(cat "$path/dev")\" = \"$(name_of "$kernel")\", "
    if [ -r "$path/partition" ] || [ -r "$path/dm/name" ]; then
        continue
    elif [ -r "$path/loop/backing_file" ]; then
        loops="$loops$kernel "
    elif [ -d "$path/md" ]; then
        array "$kernel"
    elif [ "${kernel#pmem}" != "$kernel" ]; then
        pmem "$kernel"
    else
        disk "$kernel"
    fi
    partitions "$kernel"
done

if save dmsetup_table.txt dmsetup table && ! grep -q '^No devices found' dmsetup_table.txt; then
    stack "" "[[dm]]" 'table = "dmsetup_table.txt"' "devices = { ${numbers%, } }"
    thin_pools
fi
volume_groups

while read -r _id _parent number place mount rest; do
    [ "$place" = / ] || continue
    case $mount in
    *\\*) # a blank or another special character in the mount point
        say "$mount: not looked at: its name has special characters"
        continue
        ;;
    esac
    case $rest in
    *" - xfs "*) filesystem xfs "$number" "$mount" ;;
    *" - ext4 "*) filesystem ext4 "$number" "$mount" ;;
    esac
done <"$root/proc/self/mountinfo"

for kernel in $loops; do
    loop_device "$kernel"
done

echo "Written to $1. Next:"
echo "  badrange check-stack --stack $1/stack.toml"
echo "  badrange explain --stack $1/stack.toml --log $1/dmesg.txt"
