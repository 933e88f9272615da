# For use with nixpkgs's image/repart.nix: ext4writer makes the file systems of partitions, and
# systemd-repart copies them (repart.d(5), CopyBlocks=).
{
  config,
  lib,
  pkgs,
  ...
}:

{
  options.ext4writer.repart = lib.mkOption {
    type = lib.types.attrsOf (lib.types.attrsOf lib.types.anything);
    default = { };
    description = ''
      Arguments of make-ext4-fs.nix for each partition that holds such an image, by the partition's
      name. Such a partition must not set Format, contents or storePaths itself.
    '';
  };

  config.image.repart.partitions = builtins.mapAttrs (
    name: arguments:
    # systemd-repart copies the bytes unchanged.
    if arguments.compressImage or false then
      throw "ext4writer.repart.${name}: a partition cannot hold a compressed image; to compress the disk, set image.repart.compression instead of compressImage"
    else
      { repartConfig.CopyBlocks = "${pkgs.callPackage ./make-ext4-fs.nix arguments}"; }
  ) config.ext4writer.repart;
}
