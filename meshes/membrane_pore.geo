// A box with a membrane that a cylindrical pore pierces, between two reservoirs. Lengths in nm. The membrane fills |x| < thickness/2 but for the
// pore y^2 + z^2 < radius^2; the box is |x| < thickness/2 + reservoir, |y|, |z| < width/2.
// debye: Debye length; cells: of them within it at the walls; growth: of the size with the distance from a wall; h: largest size.
// membrane: 1 if it is part of the mesh, the region "membrane" (a dielectric), 0 if not.
// Regions: solution, membrane. left, right: the far ends; pore_wall; membrane_wall: the membrane's faces; side: the rest, of symmetry;
// membrane_side: that of the membrane, if it is there.
SetFactory("OpenCASCADE");
DefineConstant[ radius = 2, thickness = 6, reservoir = 6, width = 12, debye = 1, cells = 2, growth = 0.3, h = 2, membrane = 1 ];

fine = debye/cells;
a = thickness/2;
b = a + reservoir;
c = width/2;

Box(1) = {-a, -c, -c, thickness, width, width};
Cylinder(2) = {-a, 0, 0, thickness, 0, 0, radius};
pierced() = BooleanDifference{ Volume{1}; Delete; }{ Volume{2}; };
Box(11) = {-b, -c, -c, reservoir, width, width};
Box(12) = {a, -c, -c, reservoir, width, width};
If (membrane)
  parts() = BooleanFragments{ Volume{11, 12, 2, pierced()}; Delete; }{};
Else
  Recursive Delete{ Volume{pierced()}; }
  parts() = BooleanFragments{ Volume{11, 12, 2}; Delete; }{};
EndIf

// by their places: the numbers that the fragments get are gmsh's business
e = 1e-3*radius;
solution() = Volume In BoundingBox{-b - e, -c - e, -c - e, -a + e, c + e, c + e};
solution() += Volume In BoundingBox{a - e, -c - e, -c - e, b + e, c + e, c + e};
solution() += Volume In BoundingBox{-a - e, -radius - e, -radius - e, a + e, radius + e, radius + e};
Physical Volume("solution") = {solution()};
If (membrane)
  solid() = parts();
  solid() -= solution();
  Physical Volume("membrane") = {solid()};
EndIf

left() = Surface In BoundingBox{-b - e, -c - e, -c - e, -b + e, c + e, c + e};
right() = Surface In BoundingBox{b - e, -c - e, -c - e, b + e, c + e, c + e};
mouths() = Surface In BoundingBox{-a - e, -radius - e, -radius - e, -a + e, radius + e, radius + e};
mouths() += Surface In BoundingBox{a - e, -radius - e, -radius - e, a + e, radius + e, radius + e};
wall() = Surface In BoundingBox{-a - e, -radius - e, -radius - e, a + e, radius + e, radius + e};
wall() -= mouths();
faces() = Surface In BoundingBox{-a - e, -c - e, -c - e, -a + e, c + e, c + e};
faces() += Surface In BoundingBox{a - e, -c - e, -c - e, a + e, c + e, c + e};
faces() -= mouths();
outside() = {};
If (membrane)
  within() = Surface In BoundingBox{-a - e, -c - e, -c - e, a + e, c + e, c + e};
  within() -= faces(); within() -= mouths(); within() -= wall();
  Physical Surface("membrane_side") = {within()};
  outside() = within();
EndIf
side() = Surface{:};
side() -= left(); side() -= right(); side() -= mouths(); side() -= wall(); side() -= faces(); side() -= outside();
Physical Surface("left") = {left()};
Physical Surface("right") = {right()};
Physical Surface("pore_wall") = {wall()};
Physical Surface("membrane_wall") = {faces()};
Physical Surface("side") = {side()};

Field[1] = Distance;
Field[1].SurfacesList = {wall(), faces()};
Field[1].Sampling = Ceil(width/fine);
Field[2] = MathEval;
Field[2].F = Sprintf("Min(%g, %g + %g*Max(F1 - %g, 0))", h, fine, growth, debye);
Background Field = 2;
Mesh.MeshSizeFromPoints = 0;
Mesh.MeshSizeExtendFromBoundary = 0;
Mesh.Optimize = 1;
