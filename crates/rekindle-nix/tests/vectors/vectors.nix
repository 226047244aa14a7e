# The derivations beside this file are what Nix 2.8 instantiates of it, with ca-derivations enabled.
let
  src = derivation { name = "src"; system = "x"; builder = "/b"; outputHashMode = "recursive"; outputHashAlgo = "sha256"; outputHash = "sha256-0VHmowdvg8UT0bQdY9Mnc/51YLlXlg0y9ethRI1WvbA="; };
  a = derivation { name = "a"; system = "x"; builder = "/b"; outputs = [ "out" "dev" ]; inherit src; s = "q\"b\\n\nt\tr\r"; };
  b = derivation { name = "b"; system = "x"; builder = "/b"; args = [ a.dev "${a}/bin" ]; };
  ca = derivation { name = "ca"; system = "x"; builder = "/b"; __contentAddressed = true; outputHashMode = "recursive"; outputHashAlgo = "sha256"; inherit a; };
  dep = derivation { name = "dep"; system = "x"; builder = "/b"; inherit ca; };
  top = derivation { name = "top"; system = "x"; builder = "/b"; inherit dep; };
  j = derivation { name = "j"; system = "x"; builder = "/b"; __structuredAttrs = true; x = [1 2]; inherit a; };
in [ src a b ca dep top j ]
