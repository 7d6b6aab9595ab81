// The half-plane (r, z) of a conical pore through a membrane between two reservoirs; for [mesh] axisymmetric = true. Lengths in nm, x is r, y is z:
// the pore from z = 0 (radius `tip`) to z = length (radius `base`), reservoirs of radius and depth `reservoir` below and above. The membrane itself
// is no part of the mesh.
// debye: Debye length; cells: of them within it at the walls; growth: of the size with the distance from a wall; h: largest size.
// left: the far end of the reservoir at the tip, right: of that at the base; axis: r = 0; pore_wall; membrane_wall: its two faces.
DefineConstant[ tip = 3, base = 12, length = 60, reservoir = 60, debye = 1, cells = 4, growth = 0.25, h = 6 ];

fine = debye/cells;

Point(1) = {0, -reservoir, 0};
Point(2) = {reservoir, -reservoir, 0};
Point(3) = {reservoir, 0, 0};
Point(4) = {tip, 0, 0};
Point(5) = {base, length, 0};
Point(6) = {reservoir, length, 0};
Point(7) = {reservoir, length + reservoir, 0};
Point(8) = {0, length + reservoir, 0};

Line(1) = {1, 2};
Line(2) = {2, 3};
Line(3) = {3, 4};
Line(4) = {4, 5};
Line(5) = {5, 6};
Line(6) = {6, 7};
Line(7) = {7, 8};
Line(8) = {8, 1};
Curve Loop(1) = {1:8};
Plane Surface(1) = {1};

Physical Surface("solution") = {1};
Physical Curve("left") = {1};
Physical Curve("right") = {7};
Physical Curve("pore_wall") = {4};
Physical Curve("membrane_wall") = {3, 5};
Physical Curve("axis") = {8};

// fine within one Debye length of a wall, then growing; the membrane's faces too, which may carry charge
Field[1] = Distance;
Field[1].CurvesList = {3, 4, 5};
Field[1].Sampling = Ceil(2*(reservoir + length)/fine);
Field[2] = MathEval;
Field[2].F = Sprintf("Min(%g, %g + %g*Max(F1 - %g, 0))", h, fine, growth, debye);
Background Field = 2;
Mesh.MeshSizeFromPoints = 0;
Mesh.MeshSizeExtendFromBoundary = 0;
