// A pore that narrows and widens again, between two hyperbolae, in elliptic coordinates: x + i y = a sinh(xi + i eta), |xi| < xi_end,
// |eta| < opening. Its neck is 2 a sin(opening) wide. Lines of constant xi, such as the ends left and right, cross the walls at right angles, and
// a harmonic function of xi alone is linear in it: the conductance of the pore to anything that obeys Laplace's equation is opening/xi_end.
// cells: along the pore; across: across it.
DefineConstant[ a = 1, opening = 0.6, xi_end = 1.5, cells = 48, across = 16 ];

points = 12; // of each curve, besides its ends: splines through them are 1e-6 from the hyperbolae
For i In {0:points + 1}
  xi = -xi_end + 2*xi_end*i/(points + 1);
  low(i) = newp; Point(low(i)) = {a*Sinh(xi)*Cos(opening), -a*Cosh(xi)*Sin(opening), 0};
  high(i) = newp; Point(high(i)) = {a*Sinh(xi)*Cos(opening), a*Cosh(xi)*Sin(opening), 0};
EndFor
For i In {1:points}
  eta = -opening + 2*opening*i/(points + 1);
  inlet(i) = newp; Point(inlet(i)) = {-a*Sinh(xi_end)*Cos(eta), a*Cosh(xi_end)*Sin(eta), 0};
  outlet(i) = newp; Point(outlet(i)) = {a*Sinh(xi_end)*Cos(eta), a*Cosh(xi_end)*Sin(eta), 0};
EndFor
Spline(1) = low();
Spline(2) = {low(points + 1), outlet({1:points}), high(points + 1)};
Spline(3) = high();
Spline(4) = {low(0), inlet({1:points}), high(0)};
Curve Loop(1) = {1, 2, -3, -4};
Plane Surface(1) = {1};
Transfinite Curve{1, 3} = cells + 1;
Transfinite Curve{2, 4} = across + 1;
Transfinite Surface{1};

Physical Surface("pore") = {1};
Physical Curve("left") = {4};
Physical Curve("right") = {2};
Physical Curve("wall") = {1, 3};
