# Beside nixpkgs' image/repart.nix: ext4writer makes the file systems of partitions, and
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
      Arguments of make-ext4-fs.nix by the name of the partition that holds the image. Such a
      partition has neither a Format nor contents nor storePaths of its own.
    '';
  };

  config.image.repart.partitions = builtins.mapAttrs (
    name: arguments:
    # The bytes are copied as they are.
    if arguments.compressImage or false then
      throw "ext4writer.repart.${name}: compressImage makes no image that can be mounted; image.repart.compression compresses the disk"
    else
      { repartConfig.CopyBlocks = "${pkgs.callPackage ./make-ext4-fs.nix arguments}"; }
  ) config.ext4writer.repart;
}
