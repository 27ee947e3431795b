# grub.sh   sourced by the image makers: GRUB on a disk image for BIOS and UEFI; grub-install would want a block device
#
# grub_make FOLDER CONFIG MODULE…   FOLDER/core.img (BIOS) and FOLDER/BOOTX64.EFI (UEFI), which run the commands of CONFIG
# grub_embed FOLDER IMAGE SECTOR    puts core.img at SECTOR of IMAGE (its BIOS boot partition), and the code before it at the start

# little_endian NUMBER BYTES FILE OFFSET
little_endian() {
  local value=$1 bytes='' i
  for ((i = 0; i < $2; i++)); do bytes+=$(printf '\\x%02x' $((value & 255))); value=$((value >> 8)); done
  printf "$bytes" | dd of="$3" bs=1 seek="$4" conv=notrunc status=none
}

grub_make() {
  local folder=$1 config=$2; shift 2
  grub-mkimage -O i386-pc -o "$folder/core.img" -p / -c "$config" "$@" biosdisk
  grub-mkimage -O x86_64-efi -o "$folder/BOOTX64.EFI" -p / -c "$config" "$@"
}

grub_embed() {
  local folder=$1 image=$2 sector=$3
  # What grub-install would write: where the first sector finds the core, and the core its second sector.
  cp /usr/lib/grub/i386-pc/boot.img "$folder/boot.img"
  little_endian "$sector" 8 "$folder/boot.img" 92
  little_endian $((sector + 1)) 8 "$folder/core.img" 500
  dd if="$folder/boot.img" of="$image" bs=440 count=1 conv=notrunc status=none
  dd if="$folder/core.img" of="$image" bs=512 seek="$sector" conv=notrunc status=none
}
