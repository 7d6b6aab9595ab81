// Two spherical bulbs joined by a capillary, in mm: the diffusion cell of Duncan & Toor, AIChE J. 8 (1962) 38. 77.99 and 78.63 cm^3, 85.9 mm by
// 2.08 mm. The axis is x, the capillary lies between x = 0 and x = length.
// h: mesh size in the bulbs; segments: of a mouth's circle, a multiple of 4; layers: along the capillary; growth: of the size away from a mouth.
DefineConstant[ h = 4, segments = 24, layers = 40, growth = 0.25 ];

length = 85.9;
diameter = 2.08;
volume_1 = 77990;
volume_2 = 78630;

// The mesh is what has the volumes, to 0.1 %: the polygon of a mouth has the circle's area, and a bulb's equilateral facets, h^2/(8 R) below the
// sphere on average, take 3 h^2/(8 R^2) of its volume, of which 0.9 are left since most edges are shorter than h.
a = diameter/2*Sqrt((2*Pi/segments)/Sin(2*Pi/segments));
fine = Pi*diameter/segments;

// the mouth of bulb 1, and the capillary by extrusion of its triangles: thin layers at both ends, each `ratio` times as thick as the last
middle_1 = newp; Point(middle_1) = {0, 0, 0};
For i In {0:3}
  p_1(i) = newp; Point(p_1(i)) = {0, a*Cos(i*Pi/2), a*Sin(i*Pi/2)};
EndFor
For i In {0:3}
  arc_1(i) = newl; Circle(arc_1(i)) = {p_1(i), middle_1, p_1((i + 1)%4)};
EndFor
Transfinite Curve{arc_1()} = segments/4 + 1;
loop = newll; Curve Loop(loop) = arc_1();
mouth_1 = news; Plane Surface(mouth_1) = {loop};

ratio = 1.2;
thickness = 0.5*(ratio - 1)/(ratio^(layers/2) - 1);
height = 0;
For k In {1:layers}
  one(k - 1) = 1;
  height += thickness*ratio^(k <= layers/2 ? k - 1 : layers - k);
  at(k - 1) = height;
EndFor
out() = Extrude {length, 0, 0} { Surface{mouth_1}; Layers{ one(), at() }; };
mouth_2 = out(0);
capillary = out(1);

// the mouth of bulb 2, as the extrusion made it
arc_2() = Boundary{ Surface{mouth_2}; };
For i In {0:3}
  ends() = Boundary{ Curve{arc_2(i)}; };
  p_2(i) = ends(0);
EndFor
middle_2 = newp; Point(middle_2) = {length, 0, 0};

// Each bulb beyond its mouth: two rings of patches of the sphere, from the mouth to the equator and on to the pole. (A loop, not a macro, which
// gmsh would remember when it reads the file again.)
For b In {1:2}
  If (b == 1)
    p() = p_1(); arc() = arc_1(); mouth = mouth_1; middle = middle_1; volume = volume_1; side = -1;
  Else
    p() = p_2(); arc() = arc_2(); mouth = mouth_2; middle = middle_2; volume = volume_2; side = 1;
  EndIf
  R = (3*volume/(4*Pi))^(1/3);
  R = R*(1 + 0.9*(h/R)^2/8);
  x = Point{middle};
  x = x[0] + side*Sqrt(R^2 - a^2);
  centre = newp; Point(centre) = {x, 0, 0};
  pole = newp; Point(pole) = {x + side*R, 0, 0};
  For i In {0:3}
    q(i) = newp; Point(q(i)) = {x, R*Cos(i*Pi/2), R*Sin(i*Pi/2)};
  EndFor
  For i In {0:3}
    front(i) = newl; Circle(front(i)) = {p(i), centre, q(i)};
    back(i) = newl; Circle(back(i)) = {q(i), centre, pole};
    equator(i) = newl; Circle(equator(i)) = {q(i), centre, q((i + 1)%4)};
  EndFor
  shell() = {mouth};
  For i In {0:3}
    j = (i + 1)%4;
    loop = newll; Curve Loop(loop) = {arc(i), front(j), -equator(i), -front(i)};
    s = news; Surface(s) = {loop} In Sphere {centre}; shell() += s;
    loop = newll; Curve Loop(loop) = {equator(i), back(j), -back(i)};
    s = news; Surface(s) = {loop} In Sphere {centre}; shell() += s;
  EndFor
  sl = newsl; Surface Loop(sl) = shell();
  bulb = newv; Volume(bulb) = {sl};
  bulbs(b) = bulb;
EndFor

Physical Volume("bulb1") = {bulbs(1)};
Physical Volume("capillary") = {capillary};
Physical Volume("bulb2") = {bulbs(2)};

Field[1] = MathEval;
Field[1].F = Sprintf("Min(%g, %g + %g*Min(Sqrt(x^2 + y^2 + z^2), Sqrt((x - %g)^2 + y^2 + z^2)))", h, fine, growth, length);
Background Field = 1;
Mesh.MeshSizeFromPoints = 0;
Mesh.MeshSizeExtendFromBoundary = 0;
Mesh.Optimize = 1;
