# A stand-in for the flake of nixpkgs: packages for one system, and nixosSystem.
{
  outputs =
    { self }:
    let
      pkgs = import ./stand_in.nix { python = "/python"; } // {
        systemd = "/systemd";
      };
      lib = pkgs.lib // {
        mkOption = options: options // { isOption = true; };
        mkIf = condition: value: if condition then value else { };
        optionalAttrs = condition: value: if condition then value else { };
        types = rec {
          anything = "anything";
          attrsOf = _: "attrsOf";
        };
        nixosSystem =
          { system, modules }:
          {
            inherit system;
            config = import ./modules.nix {
              inherit lib;
              arguments = {
                pkgs = pkgs // { inherit lib; };
                modulesPath = "/modules";
              };
            } ([ ./system.nix ] ++ modules);
          };
      };
    in
    {
      inherit lib;
      legacyPackages.${builtins.currentSystem} = pkgs // { inherit lib; };
    };
}
