// A channel through a membrane between two baths, in the plane; lengths in nm by default. The channel is |x| < length/2, |y| < radius; the baths are
// as high as 2 bath_radius and bath_length long.
// h: mesh size in the baths; fine: in the channel and at its mouths.
DefineConstant[ length = 2, radius = 0.4, bath_length = 2, bath_radius = 1.5, h = 0.25, fine = 0.08 ];

e = length/2 + bath_length;
m = length/2;
// with bath_radius = radius nothing but a straight slit is left
step = bath_radius > radius;
p = newp; Point(p) = {-m, -radius, 0, fine}; lower() = {p};
p = newp; Point(p) = {m, -radius, 0, fine}; lower() += {p};
p = newp; Point(p) = {-m, radius, 0, fine}; upper() = {p};
p = newp; Point(p) = {m, radius, 0, fine}; upper() += {p};
p = newp; Point(p) = {-e, -bath_radius, 0, h}; left() = {p};
p = newp; Point(p) = {-e, bath_radius, 0, h}; left() += {p};
p = newp; Point(p) = {e, -bath_radius, 0, h}; right() = {p};
p = newp; Point(p) = {e, bath_radius, 0, h}; right() += {p};
bottom() = {left(0)};
top() = {left(1)};
If (step)
  p = newp; Point(p) = {-m, -bath_radius, 0, h}; bottom() += {p};
  p = newp; Point(p) = {-m, bath_radius, 0, h}; top() += {p};
EndIf
bottom() += {lower(0), lower(1)};
top() += {upper(0), upper(1)};
If (step)
  p = newp; Point(p) = {m, -bath_radius, 0, h}; bottom() += {p};
  p = newp; Point(p) = {m, bath_radius, 0, h}; top() += {p};
EndIf
bottom() += {right(0)};
top() += {right(1)};

wall() = {};
back() = {};
For i In {0:#bottom() - 2}
  c = newl; Line(c) = {bottom(i), bottom(i + 1)}; wall() += {c};
  d = newl; Line(d) = {top(i + 1), top(i)}; back() = {d, back()};
EndFor
outlet = newl; Line(outlet) = {right(0), right(1)};
inlet = newl; Line(inlet) = {left(1), left(0)};
Curve Loop(1) = {wall(), outlet, back(), inlet};
Plane Surface(1) = {1};

Physical Surface("electrolyte") = {1};
Physical Curve("left") = {inlet};
Physical Curve("right") = {outlet};
Physical Curve("wall") = {wall(), back()};
Mesh.Algorithm = 6;
